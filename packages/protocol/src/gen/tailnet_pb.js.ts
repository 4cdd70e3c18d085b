export * from "./tailnet_pb.ts";
