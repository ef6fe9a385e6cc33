import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isRecipe, recipeOf, recipes } from './recipes.ts';

test('a recipe is known by its name, and by the scripts that warmed it', () => {
  expect(isRecipe('data')).toBe(true);
  expect(isRecipe('constructor')).toBe(false);
  expect(recipeOf(['numpy.py', 'data.py'])).toBe('data');
  expect(recipeOf(['data.py'])).toBeUndefined();
  expect(recipeOf([])).toBeUndefined();
});

test('each holds what the smaller ones hold, and has its script', async () => {
  expect(recipes.science).toEqual(expect.arrayContaining([...recipes.data]));
  expect(recipes.data).toEqual(expect.arrayContaining([...recipes.numpy]));
  for (const name of Object.keys(recipes).filter((one) => one !== 'stdlib')) {
    const script = new URL(`../../python/recipes/${name}.py`, import.meta.url);
    expect(await readFile(script, 'utf8')).toContain('import');
  }
});
