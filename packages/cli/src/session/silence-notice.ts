/** Tells the user of an interactive session that the workspace has gone silent, without damaging the screen. */
import { watchLiveness } from "coder-client/connection/liveness";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { LocalTerminal } from "./terminal-input.ts";

/** The workspace is pinged after the first of these silences, and the user informed after the second. */
const ASK_AFTER_MS = 3_000;
const NOTICE_AFTER_MS = 5_000;
const SAVE_CURSOR = "\x1b7";
const RESTORE_CURSOR = "\x1b8";
const FIRST_LINE = "\x1b[1;1H";

export interface SilenceNoticeOptions {
  readonly connection: Pick<WorkspaceConnection, "pathReport" | "ping">;
  readonly terminal: LocalTerminal;
  /** The remote program draws the screen, so the notice borrows one line of it. Otherwise lines are added. */
  readonly raw: boolean;
  /** Makes the remote program redraw what the notice covered. */
  readonly redraw: () => void;
}

/** Watches until the returned function is called. */
export function noticeSilence(options: SilenceNoticeOptions): () => void {
  const { connection, raw, redraw } = options;
  const { stderr } = options.terminal;
  let timer: NodeJS.Timeout | undefined;
  const hide = (): void => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    stderr.write(`${SAVE_CURSOR}${FIRST_LINE}\x1b[2K${RESTORE_CURSOR}`);
  };
  const stop = watchLiveness({
    target: {
      heardAgeMs: () => connection.pathReport().lastHeardAgeMs,
      ping: (asked) => connection.ping(asked),
    },
    askAfterMs: ASK_AFTER_MS,
    silentAfterMs: NOTICE_AFTER_MS,
    onSilent: (forMs) => {
      const since = performance.now() - forMs;
      if (!raw) {
        stderr.write(`coder: no answer from the workspace for ${seconds(forMs)}; still trying, Ctrl-C ends it\n`);
        return;
      }
      const draw = (): void => {
        const text = ` No answer from the workspace for ${seconds(performance.now() - since)} - still trying, Enter ~ . leaves `;
        stderr.write(`${SAVE_CURSOR}${FIRST_LINE}\x1b[7m${text}\x1b[0m\x1b[K${RESTORE_CURSOR}`);
      };
      draw();
      timer = setInterval(draw, 1_000);
    },
    onHeard: (afterMs) => {
      if (raw) {
        hide();
        redraw();
      } else stderr.write(`coder: the workspace answers again, after ${seconds(afterMs)}\n`);
    },
  });
  return () => {
    stop();
    hide();
  };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
