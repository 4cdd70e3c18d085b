export * from "./agent_pb.ts";
