import { type Command, InvalidArgumentError, Option } from 'commander';

export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

/** Lets commander name the option that a bad value belongs to. */
export function checked<T>(parseValue: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parseValue(text);
    } catch (error) {
      throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
    }
  };
}

/** Where packages come from, and what resolves and builds. */
export function addSourceOptions(command: Command): Command {
  return command
    .option('--mirror <folder|url>', 'look for packages here first (default: VIVARIUM_MIRROR)')
    .option('--offline', 'fetch nothing: what the mirror folder and the cache hold has to do')
    .addOption(new Option('--engine <kind>', 'node is for trusted code only').choices(['deno', 'node']));
}
