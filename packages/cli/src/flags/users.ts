import { COLUMN_FLAG, YES_FLAG } from "./output.ts";

/** Of commands that change who may log in. The columns are of the user that the command asks about. */
export const STATUS_FLAGS = { ...COLUMN_FLAG, ...YES_FLAG };
