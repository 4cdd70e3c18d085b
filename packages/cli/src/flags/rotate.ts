import { GLOBAL_FLAGS } from "./global.ts";
import type { LineFlag, LineFlags } from "./line.ts";

/**
 * Moves global flags behind the first word, where every parser finds them: editors and scripts put them in front, as in `coder
 * --global-config dir ssh …`.
 */
export function rotateGlobalFlags(argv: readonly string[]): string[] {
  const front: string[] = [];
  let i = 0;
  while (i < argv.length && argv[i]!.startsWith("-") && argv[i] !== "-" && argv[i] !== "--") {
    const word = argv[i]!;
    const flag = globalFlag(word);
    if (flag === undefined) break;
    front.push(word);
    i++;
    if (flag.type !== "boolean" && !word.includes("=") && i < argv.length) front.push(argv[i++]!);
  }
  if (front.length === 0 || i >= argv.length) return [...argv];
  return [argv[i]!, ...front, ...argv.slice(i + 1)];
}

function globalFlag(word: string): LineFlag | undefined {
  const found = Object.entries<LineFlag>(GLOBAL_FLAGS as LineFlags).find(([name, { type, char }]) =>
    word.startsWith("--")
      ? word === `--${name}` || word.startsWith(`--${name}=`) || (type === "boolean" && word === `--no-${name}`)
      : word === `-${char}`,
  );
  return found?.[1];
}
