/** Ready-made images: what they hold, and the script that warms each. */
import { readFile } from 'node:fs/promises';
import { defineImage, type ImageDefinition } from './image-definition.ts';
import type { Lock } from './lock.ts';

export type RecipeName = 'stdlib' | 'numpy' | 'data' | 'science';

const data = ['numpy', 'pandas', 'matplotlib', 'pillow'];

/** Name → requirements. */
export const recipes: Readonly<Record<RecipeName, readonly string[]>> = Object.freeze({
  stdlib: [],
  numpy: ['numpy'],
  data,
  science: [...data, 'scipy', 'scikit-learn', 'sympy'],
});

/** Name → what warms it, in order. */
const scripts: Readonly<Record<RecipeName, readonly string[]>> = {
  stdlib: [],
  numpy: ['numpy.py'],
  data: ['numpy.py', 'data.py'],
  science: ['numpy.py', 'data.py', 'science.py'],
};

export function isRecipe(name: string): name is RecipeName {
  return Object.hasOwn(recipes, name);
}

/** The recipe that an image was warmed as, by the names of its scripts. */
export function recipeOf(warm: readonly string[]): RecipeName | undefined {
  if (warm.length === 0) return undefined;
  return Object.keys(recipes)
    .filter(isRecipe)
    .find((name) => scripts[name].join('\n') === warm.join('\n'));
}

/** Beside the workers: the same place from `src/` and from `dist/`. */
const scriptsUrl = new URL('../../dist/recipes/', import.meta.url);

/** The image of a recipe whose requirements were resolved to `lock`. */
export async function recipeImage(name: RecipeName, lock: Lock): Promise<ImageDefinition> {
  const read = async (filename: string): Promise<{ filename: string; code: string }> => ({
    filename,
    code: await readFile(new URL(filename, scriptsUrl), 'utf8'),
  });
  return defineImage(name, lock, { warm: await Promise.all(scripts[name].map(read)) });
}
