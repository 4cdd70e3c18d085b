import type { Terminal } from "@xterm/xterm";

declare global {
  interface Window {
    __terminal?: { text(): string };
  }
}

/** With `?test=1` on a deployment on this machine, offers the text of the screen to tests in a browser. */
export function offerTestHook(terminal: Terminal, life: AbortSignal): void {
  if (
    !/^(?:(?:.+\.)?localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname) ||
    new URLSearchParams(location.search).get("test") !== "1"
  )
    return;
  window.__terminal = {
    text: () => {
      const { active } = terminal.buffer;
      const lines = Array.from(
        { length: active.length },
        (_, row) => active.getLine(row)?.translateToString(true) ?? "",
      );
      return lines.join("\n").trimEnd();
    },
  };
  life.addEventListener("abort", () => {
    delete window.__terminal;
  });
}
