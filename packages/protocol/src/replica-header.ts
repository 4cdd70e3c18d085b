/** Our addition: the server of several that answered, by its short id; for owners of the deployment only. */
export const REPLICA_HEADER = "X-Coder-Replica";
