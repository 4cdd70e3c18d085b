import { GLOBAL_FLAGS } from "./global.ts";

/**
 * Editors and scripts put global flags in front: `coder --global-config dir ssh …`. Moves those behind the first word,
 * where every parser finds them.
 */
export function rotateGlobalFlags(argv: readonly string[]): string[] {
  const front: string[] = [];
  let i = 0;
  while (i < argv.length && argv[i]!.startsWith("-") && argv[i] !== "-" && argv[i] !== "--") {
    const word = argv[i]!;
    const spec = GLOBAL_FLAGS.find((flag) =>
      word.startsWith("--")
        ? word === `--${flag.name}` ||
          word.startsWith(`--${flag.name}=`) ||
          (flag.kind === "boolean" && word === `--no-${flag.name}`)
        : word === `-${flag.char}`,
    );
    if (spec === undefined) break;
    front.push(word);
    i++;
    if (spec.kind !== "boolean" && !word.includes("=") && i < argv.length) front.push(argv[i++]!);
  }
  if (front.length === 0 || i >= argv.length) return [...argv];
  return [argv[i]!, ...front, ...argv.slice(i + 1)];
}
