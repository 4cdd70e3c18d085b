import { DrpcError, UNIMPLEMENTED_CODE } from "coder-protocol/drpc/async";

/** Whether the control plane does not know the call: it is older, and does without. */
export function isUnknownRpc(error: unknown): boolean {
  return (
    error instanceof DrpcError &&
    error.reason === "remote" &&
    (error.code === UNIMPLEMENTED_CODE || error.message.includes("unknown rpc"))
  );
}
