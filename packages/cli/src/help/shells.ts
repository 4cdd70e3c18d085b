/** That there are completion scripts for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
