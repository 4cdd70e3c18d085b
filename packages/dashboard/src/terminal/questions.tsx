/** Questions to the user before output or a link has an effect. */
import type { JSX } from "preact";
import { visible } from "../base/words.ts";
import { CommandLine } from "../ui/copy.tsx";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";

export type Ask =
  | { readonly kind: "paste"; readonly text: string; readonly agree: () => void }
  | { readonly kind: "clipboard"; readonly text: string; readonly agree: () => void }
  | { readonly kind: "link"; readonly url: URL }
  | { readonly kind: "workspace-port"; readonly port: number; readonly url: URL };

const SHOWN_CHARACTERS = 4_000;

export function Questions({ ask, onDone }: { readonly ask: Ask; readonly onDone: () => void }): JSX.Element {
  switch (ask.kind) {
    case "paste":
      return (
        <Question title="Paste these lines?" text={ask.text} verb="Paste" onAgree={ask.agree} onDone={onDone}>
          The program takes each line as it comes.
        </Question>
      );
    case "clipboard":
      return (
        <Question title="Copy to the clipboard?" text={ask.text} verb="Copy" onAgree={ask.agree} onDone={onDone}>
          A program in the workspace asks to put this into the clipboard.
        </Question>
      );
    case "link": {
      const { url } = ask;
      const follow = (): void => void open(url, "_blank", "noopener,noreferrer");
      return (
        <Question title="Open this address?" text={url.href} verb="Open" onAgree={follow} onDone={onDone}>
          The terminal showed another text for it.
        </Question>
      );
    }
    case "workspace-port":
      return <PortHint port={ask.port} url={ask.url} onDone={onDone} />;
  }
}

function Question({
  title,
  text,
  verb,
  children,
  onAgree,
  onDone,
}: {
  readonly title: string;
  readonly text: string;
  readonly verb: string;
  readonly children: string;
  readonly onAgree: () => void;
  readonly onDone: () => void;
}): JSX.Element {
  return (
    <Dialog title={title} onCancel={onDone}>
      <p>{children}</p>
      <pre class="consent">{text.slice(0, SHOWN_CHARACTERS).split("\n").map(visible).join("\n")}</pre>
      <div class="actions">
        <button type="button" class="button" onClick={onDone}>
          Cancel
        </button>
        <ConsentButton
          onAgree={() => {
            onAgree();
            onDone();
          }}
        >
          {verb}
        </ConsentButton>
      </div>
    </Dialog>
  );
}

function PortHint({
  port,
  url,
  onDone,
}: {
  readonly port: number;
  readonly url: URL;
  readonly onDone: () => void;
}): JSX.Element {
  const workspace = decodeURIComponent(location.pathname).replace(/^\/@([^/]+)\/([^/]+)\/.*$/, "$1/$2");
  return (
    <Dialog title={`Port ${port} is the workspace's`} onCancel={onDone}>
      <p>
        <code>{url.href.slice(0, 300)}</code> leads to a program in the workspace, not on this machine. This line makes
        the port reachable here; then the link works as it is:
      </p>
      <CommandLine text={`coder port-forward ${workspace} --tcp ${port}`} label="Command that forwards the port" />
      <div class="actions">
        <button type="button" class="button" onClick={onDone}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
