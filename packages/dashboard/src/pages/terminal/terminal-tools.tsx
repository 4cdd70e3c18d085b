import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { DownloadDialog } from "../../terminal/download-dialog.tsx";
import { SessionsMenu } from "../../terminal/sessions-menu.tsx";

/** Buttons beside the tabs, each with its dialog. */
export function TerminalTools({
  agentId,
  terminal,
  downloads,
  onOpen,
}: {
  readonly agentId: string;
  /** Id of the shown terminal. */
  readonly terminal: string;
  /** Files go through the server, so a terminal that the server cannot read offers none. */
  readonly downloads: boolean;
  readonly onOpen: (id: string, title: string) => void;
}): JSX.Element {
  const open = useSignal<"none" | "sessions" | "download">("none");
  const close = (): void => {
    open.value = "none";
  };
  return (
    <>
      <button
        type="button"
        class="button small"
        onClick={() => {
          open.value = "sessions";
        }}
      >
        Sessions
      </button>
      {downloads ? (
        <button
          type="button"
          class="button small"
          onClick={() => {
            open.value = "download";
          }}
        >
          Download
        </button>
      ) : null}
      {open.value === "sessions" ? (
        <SessionsMenu
          agentId={agentId}
          onOpen={(id, title) => {
            close();
            onOpen(id, title);
          }}
          onClose={close}
        />
      ) : null}
      {open.value === "download" ? <DownloadDialog agentId={agentId} terminal={terminal} onClose={close} /> : null}
    </>
  );
}
