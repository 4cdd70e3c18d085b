import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { TerminalView, type TerminalViewProps } from "../terminal/terminal-view.tsx";
import { EndToEndLine } from "./end-to-end-line.tsx";
import type { EndToEndChoice } from "./end-to-end-switch.tsx";
import { EndToEnd } from "./link.ts";

/**
 * A terminal over a tunnel of its own if that is chosen, otherwise over the server's connection. The choice never changes later.
 * The user may let this one terminal use the server's connection; the setting and other terminals stay as they are.
 */
export function EndToEndTerminal({
  choice,
  ...view
}: TerminalViewProps & { readonly choice: EndToEndChoice }): JSX.Element {
  const link = useMemo(() => (choice.on ? new EndToEnd() : undefined), []);
  const fallenBack = useSignal(false);
  useEffect(() => () => link?.close(), [link]);
  useEffect(() => {
    if (fallenBack.value) link?.close();
  }, [link, fallenBack.value]);
  if (link === undefined) return <TerminalView {...view} />;
  if (fallenBack.value) {
    return (
      <>
        {view.shown === false ? null : (
          <p class="terminal-line" role="status">
            This terminal uses the server's connection, which can read it.
          </p>
        )}
        <TerminalView key="server" {...view} known />
      </>
    );
  }
  return (
    <>
      {view.shown === false ? null : (
        <EndToEndLine
          link={link}
          required={choice.required}
          onFallback={() => {
            fallenBack.value = true;
          }}
        />
      )}
      <TerminalView key="tunnel" {...view} transport={link.open} noUploads={noUploads(choice)} />
    </>
  );
}

function noUploads({ required }: EndToEndChoice): string {
  return required
    ? "Files go through the server, which can read them: copy them with the command line."
    : "Files go through the server: switch End-to-end off to upload.";
}
