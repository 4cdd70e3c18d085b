/** Completion scripts, made from the commands' definitions. */
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { type CommandTexts, flagTexts } from "./command-texts.ts";

export type CommandTable = Readonly<Record<string, Pick<CommandTexts, "summary" | "flags" | "words">>>;

/** Workspace names come from `coder list`, run when the key is pressed; its errors are not shown. */
const NAMES = "coder list --column workspace 2>/dev/null | tail -n +2 | sed 's|^.*/||'";

/**
 * @param commands By id: the words joined by colons.
 * @returns Undefined for an unknown shell.
 */
export function completionScript(shell: string, commands: CommandTable): string | undefined {
  switch (shell) {
    case "bash":
      return bash(commands);
    case "zsh":
      return zsh(commands);
    case "fish":
      return fish(commands);
    default:
      return undefined;
  }
}

function firstWords(commands: CommandTable): string[] {
  return [...new Set(Object.keys(commands).map((id) => id.split(":")[0]!))].sort();
}

/** The second words of each topic, by its first word. */
function topicsOf(commands: CommandTable): Map<string, string[]> {
  const topics = new Map<string, string[]>();
  for (const id of Object.keys(commands).sort()) {
    const [first, second] = id.split(":");
    if (second !== undefined) topics.set(first!, [...(topics.get(first!) ?? []), second]);
  }
  return topics;
}

function flagsOf(command: CommandTable[string]): string[] {
  return [...command.flags, ...flagTexts(GLOBAL_FLAGS)]
    .filter(({ hidden }) => hidden !== true)
    .map(({ name }) => `--${name}`);
}

function takesWorkspace(command: CommandTable[string]): boolean {
  return command.words[0]?.name === "workspace";
}

function bash(commands: CommandTable): string {
  const ids = Object.keys(commands).sort();
  const topics = [...topicsOf(commands)].map(
    ([topic, words]) =>
      `      ${topic}) COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$word")); [ \${#COMPREPLY[@]} -gt 0 ] && return ;;`,
  );
  const flags = ids.map((id) => `      "${id.replace(":", " ")}") words="${flagsOf(commands[id]!).join(" ")}" ;;`);
  const named = ids.filter((id) => takesWorkspace(commands[id]!)).map((id) => `"${id.replace(":", " ")}"`);
  return `_coder() {
  local word="\${COMP_WORDS[COMP_CWORD]}" first="\${COMP_WORDS[1]}" command words="" at
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${firstWords(commands).join(" ")}" -- "$word"))
    return
  fi
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 2 ]; then
    case "$first" in
${topics.join("\n")}
    esac
  fi
  command="$first" at=2
  case " ${Object.keys(commands)
    .filter((id) => id.includes(":"))
    .map((id) => id.replace(":", "/"))
    .join(" ")} " in
    *" $first/\${COMP_WORDS[2]} "*) command="$first \${COMP_WORDS[2]}" at=3 ;;
  esac
  case "$word" in
  -*)
    case "$command" in
${flags.join("\n")}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    ;;
  *)
    [ "$COMP_CWORD" -eq "$at" ] || return
    case "$command" in
      ${named.join("|")}) COMPREPLY=($(compgen -W "$(${NAMES})" -- "$word")) ;;
    esac
    ;;
  esac
}
complete -F _coder coder
`;
}

/** Works when sourced, and as _coder in a folder of $fpath, where zsh runs it at the first completion. */
function zsh(commands: CommandTable): string {
  return `#compdef coder
autoload -U +X bashcompinit && bashcompinit
${bash(commands)}[ "\${funcstack[1]-}" = _coder ] && _bash_complete -F _coder
`;
}

function fish(commands: CommandTable): string {
  const lines = [`complete -c coder -f -n __fish_use_subcommand -a "${firstWords(commands).join(" ")}"`];
  for (const [topic, words] of topicsOf(commands))
    lines.push(`complete -c coder -f -n "__fish_seen_subcommand_from ${topic}" -a "${words.join(" ")}"`);
  for (const [id, command] of Object.entries(commands)) {
    const seen = id
      .split(":")
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join("; and ");
    if (takesWorkspace(command)) lines.push(`complete -c coder -f -n "${seen}" -a "(${NAMES})"`);
    for (const flag of command.flags) {
      if (flag.hidden === true) continue;
      const short = flag.char === undefined ? "" : ` -s ${flag.char}`;
      const value = flag.kind === "boolean" ? "" : " -r";
      lines.push(
        `complete -c coder -n "${seen}" -l ${flag.name}${short}${value} -d '${flag.summary.replaceAll("'", "’")}'`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
