/** Terminals of an agent, which run on without viewers, and files sent to its workspace. */
import type { ErrorBody } from "coder-protocol/rest/common";
import type { TerminalsResponse, UploadedFile } from "coder-protocol/rest/terminals";
import { ApiError, call, csrfProof } from "./client.ts";

export const listTerminals = (agentId: string, signal: AbortSignal) =>
  call<TerminalsResponse>("GET", `/workspaceagents/${agentId}/terminals`, { signal });

export const endTerminal = (agentId: string, id: string) =>
  call<void>("DELETE", `/workspaceagents/${agentId}/terminals/${id}`);

export interface UploadTarget {
  readonly agentId: string;
  /** Relative to the directory of the terminal's shell. */
  readonly path: string;
  readonly terminal: string;
  readonly overwrite: boolean;
}

function filesPath({ agentId, path, terminal, overwrite }: UploadTarget): string {
  const query = new URLSearchParams({ path, terminal, overwrite: String(overwrite) });
  return `/api/v2/workspaceagents/${agentId}/files?${query}`;
}

/** Throws ApiError, or the signal's reason when it aborts. Does not use `fetch`, which reports no progress of uploads. */
export function uploadFile(
  target: UploadTarget,
  file: Blob,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (sentBytes: number) => void },
): Promise<UploadedFile> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", filesPath(target));
    request.setRequestHeader("X-CSRF-TOKEN", csrfProof());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status === 201) resolve(body as UploadedFile);
      else reject(new ApiError(request.status, body as ErrorBody));
    };
    request.onerror = () =>
      reject(
        new ApiError(0, { message: "The connection broke off", detail: "The workspace kept nothing of the file." }),
      );
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

/** A file of the workspace, by a path relative to the directory of the terminal's shell. */
export interface DownloadSource {
  readonly agentId: string;
  readonly path: string;
  readonly terminal: string;
}

export function downloadAddress({ agentId, path, terminal }: DownloadSource): string {
  return `/api/v2/workspaceagents/${agentId}/files?${new URLSearchParams({ path, terminal })}`;
}

/** Throws ApiError when the workspace refuses the file: with a mere link, the browser would save the refusal as the file. */
export async function checkDownload(source: DownloadSource): Promise<void> {
  await call<void>("GET", `${downloadAddress(source).slice("/api/v2".length)}&check=true`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: "The answer did not come from this deployment's API" };
  }
}
