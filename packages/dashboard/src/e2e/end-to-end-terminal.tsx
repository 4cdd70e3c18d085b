import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { TerminalView, type TerminalViewProps } from "../terminal/terminal-view.tsx";
import { EndToEndLine } from "./end-to-end-line.tsx";
import type { EndToEndChoice } from "./end-to-end-switch.tsx";
import { EndToEnd } from "./link.ts";

/** A terminal over a tunnel of its own where that is chosen, else over the server's connection. The choice never changes later. */
export function EndToEndTerminal({
  choice,
  ...view
}: TerminalViewProps & { readonly choice: EndToEndChoice }): JSX.Element {
  const link = useMemo(() => (choice.on ? new EndToEnd() : undefined), []);
  useEffect(() => () => link?.close(), [link]);
  if (link === undefined) return <TerminalView {...view} />;
  return (
    <>
      {view.shown === false ? null : (
        <EndToEndLine link={link} required={choice.required} onFallback={() => choice.choose(false)} />
      )}
      <TerminalView {...view} transport={link.open} />
    </>
  );
}
