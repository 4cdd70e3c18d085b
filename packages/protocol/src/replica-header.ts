/** Our addition: the short id of the server that answered; sent to owners of the deployment only. */
export const REPLICA_HEADER = "X-Coder-Replica";
