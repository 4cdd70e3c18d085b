export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Commands whose first word is a workspace. */
const TAKES_WORKSPACE = ["ssh", "show"];

const COMMANDS = [
  "agent",
  "completion",
  "external-workspaces",
  "list",
  "login",
  "logout",
  "server",
  "show",
  "ssh",
  "tokens",
  "version",
  "whoami",
];
const TOPICS: Readonly<Record<string, readonly string[]>> = {
  "external-workspaces": ["agent-instructions", "create", "list"],
  tokens: ["create", "list", "remove"],
};

/** Workspace names come from `coder list`, asked when the key is pressed; errors stay silent there. */
const NAMES = "coder list --column workspace 2>/dev/null | tail -n +2 | sed 's|^.*/||'";

export function completionScript(shell: string): string | undefined {
  switch (shell) {
    case "bash":
      return bash();
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash()}`;
    case "fish":
      return fish();
    default:
      return undefined;
  }
}

function bash(): string {
  const topics = Object.entries(TOPICS)
    .map(([topic, verbs]) => `      ${topic}) COMPREPLY=($(compgen -W "${verbs.join(" ")}" -- "$word")) ;;`)
    .join("\n");
  return `_coder() {
  local word="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${COMMANDS.join(" ")}" -- "$word"))
  elif [ "$COMP_CWORD" -eq 2 ]; then
    case "\${COMP_WORDS[1]}" in
${topics}
      ${TAKES_WORKSPACE.join("|")}) COMPREPLY=($(compgen -W "$(${NAMES})" -- "$word")) ;;
    esac
  fi
}
complete -F _coder coder
`;
}

function fish(): string {
  const topics = Object.entries(TOPICS).map(
    ([topic, verbs]) => `complete -c coder -f -n "__fish_seen_subcommand_from ${topic}" -a "${verbs.join(" ")}"`,
  );
  return [
    `complete -c coder -f -n __fish_use_subcommand -a "${COMMANDS.join(" ")}"`,
    ...topics,
    `complete -c coder -f -n "__fish_seen_subcommand_from ${TAKES_WORKSPACE.join(" ")}" -a "(${NAMES})"`,
    "",
  ].join("\n");
}
