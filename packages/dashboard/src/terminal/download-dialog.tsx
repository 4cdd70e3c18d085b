import type { JSX } from "preact";
import { checkDownload, downloadAddress } from "../api/terminals.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";

/** Longest path on Linux. */
const MAX_PATH = 4_096;

/** Asks for the path of a file in the workspace, and lets the browser save the file. */
export function DownloadDialog({
  agentId,
  terminal,
  onClose,
}: {
  readonly agentId: string;
  /** Id of the terminal whose shell's directory relative paths start from. */
  readonly terminal: string;
  readonly onClose: () => void;
}): JSX.Element {
  const work = useWork();
  return (
    <Dialog title="Download a file" onCancel={onClose}>
      <Form
        work={work}
        submit="Download"
        onCancel={onClose}
        onSubmit={async ({ path = "" }) => {
          const source = { agentId, terminal, path };
          await checkDownload(source);
          save(downloadAddress(source));
          onClose();
        }}
      >
        <Field
          label="Path of the file"
          name="path"
          maxLength={MAX_PATH}
          autocomplete="off"
          autoFocus
          hint="From the directory of the shell, or from / on; one file at a time"
        />
      </Form>
    </Dialog>
  );
}

/** The browser shows the progress, and writes the file without holding it in memory. */
function save(address: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}
