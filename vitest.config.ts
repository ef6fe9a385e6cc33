import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Of a machine that does much else: an image is built in some seconds, or in half a minute.
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
});
