import { COLUMN_FLAG, YES_FLAG } from "./output.ts";

/** Flags of commands that change who may log in. The columns describe the user in the confirmation question. */
export const STATUS_FLAGS = { ...COLUMN_FLAG, ...YES_FLAG };
