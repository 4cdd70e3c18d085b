import type { Status } from "./codec.ts";

/** A failure that is answered with its own status. */
export class SftpFailure extends Error {
  readonly status: Status;
  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}
