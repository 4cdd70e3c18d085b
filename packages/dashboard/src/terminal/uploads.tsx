/** Files being sent to the workspace: a line for each, with its progress and a button that cancels it. */
import { effect, type Signal, useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError } from "../api/client.ts";
import { uploadFile } from "../api/terminals.ts";
import { askBeforeUnload } from "../base/ask-before-unload.ts";

export interface Upload {
  readonly key: number;
  readonly name: string;
  readonly size: number;
  readonly sent: number;
  readonly state:
    | { readonly kind: "sending" }
    | { readonly kind: "done"; readonly path: string }
    | { readonly kind: "failed"; readonly why: string; readonly exists: boolean };
}

/** Sends files one after the other, so that a cancelled one does not wait behind bytes of others. */
export class Uploads {
  readonly list: Signal<readonly Upload[]>;
  readonly #agentId: string;
  readonly #terminal: string;
  readonly #calls = new Map<number, AbortController>();
  readonly #files = new Map<number, File>();
  #keys = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(list: Signal<readonly Upload[]>, agentId: string, terminal: string) {
    this.list = list;
    this.#agentId = agentId;
    this.#terminal = terminal;
  }

  add(files: readonly File[]): void {
    for (const file of files) this.#enqueue(file, false);
  }

  /** Replaces the existing file of that name. */
  overwrite(key: number): void {
    const file = this.#files.get(key);
    this.remove(key);
    if (file !== undefined) this.#enqueue(file, true);
  }

  /** Cancels the upload, or removes its line. */
  remove(key: number): void {
    this.#calls.get(key)?.abort();
    this.#calls.delete(key);
    this.#files.delete(key);
    this.list.value = this.list.value.filter((upload) => upload.key !== key);
  }

  close(): void {
    for (const call of this.#calls.values()) call.abort();
  }

  #enqueue(file: File, overwrite: boolean): void {
    const key = ++this.#keys;
    const call = new AbortController();
    this.#calls.set(key, call);
    this.#files.set(key, file);
    const first: Upload = { key, name: file.name, size: file.size, sent: 0, state: { kind: "sending" } };
    this.list.value = [...this.list.value, first];
    this.#last = this.#last.then(() => this.#send(key, file, { overwrite, signal: call.signal }));
  }

  async #send(key: number, file: File, options: { overwrite: boolean; signal: AbortSignal }): Promise<void> {
    const { overwrite, signal } = options;
    if (signal.aborted) return;
    try {
      const target = { agentId: this.#agentId, path: file.name, terminal: this.#terminal, overwrite };
      const { path } = await uploadFile(target, file, {
        signal,
        onProgress: (sent) => this.#change(key, { sent }),
      });
      this.#change(key, { sent: file.size, state: { kind: "done", path } });
      this.#files.delete(key);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#change(key, { state: { kind: "failed", why: error.message, exists: error.status === 409 } });
    }
    this.#calls.delete(key);
  }

  #change(key: number, change: Partial<Upload>): void {
    this.list.value = this.list.value.map((upload) => (upload.key === key ? { ...upload, ...change } : upload));
  }
}

/** The uploads of one terminal, cancelled when it goes. */
export function useUploads(agentId: string, terminal: string): Uploads {
  const list = useSignal<readonly Upload[]>([]);
  const uploads = useSignal<Uploads | undefined>(undefined);
  const there = uploads.peek() ?? new Uploads(list, agentId, terminal);
  uploads.value = there;
  useEffect(() => () => there.close(), [there]);
  const sending = useComputed(() => list.value.some(({ state }) => state.kind === "sending"));
  // A program goes on without the page, but a half-sent file is lost with it. At once, and not after the next frame as with
  // useSignalEffect, because the page may be closed before that.
  useEffect(() => effect(() => (sending.value ? askBeforeUnload() : undefined)), [sending]);
  return there;
}

export function UploadLines({ uploads }: { readonly uploads: Uploads }): JSX.Element {
  return (
    <div role="status" aria-label="Uploads">
      {uploads.list.value.map(({ key, name, size, sent, state }) => (
        <p key={key} class="terminal-line">
          <span>{name}</span>
          {state.kind === "sending" ? (
            <progress aria-label={`Upload of ${name}`} max={Math.max(1, size)} value={sent} />
          ) : state.kind === "done" ? (
            <span class="quiet">uploaded to {state.path}</span>
          ) : (
            <strong>{state.why}</strong>
          )}
          {state.kind === "failed" && state.exists ? (
            <button type="button" class="button small" onClick={() => uploads.overwrite(key)}>
              Replace it
            </button>
          ) : null}
          <button type="button" class="button small" onClick={() => uploads.remove(key)}>
            {state.kind === "sending" ? "Cancel" : "Dismiss"}
          </button>
        </p>
      ))}
    </div>
  );
}
