/** Terminals of an agent that are kept between connections, and files of its workspace. Stock servers have no such routes. */
import { z } from "zod";

export const agentTerminal = z.object({
  id: z.string().max(64),
  /** Empty for the login shell. */
  command: z.string().max(65_536),
  title: z.string().max(1_024),
  started_at: z.string().max(64),
  last_attached_at: z.string().max(64),
  viewers: z.number().int().nonnegative(),
  viewer_names: z.array(z.string().max(256)).max(64).default([]),
  cols: z.number().int().nonnegative(),
  rows: z.number().int().nonnegative(),
  /** When it will be ended; null while it has viewers. */
  kept_until: z.string().max(64).nullable(),
  /** Name of the program in the foreground; empty if not known. */
  foreground: z.string().max(256),
  /** Name of the user to whom it belongs; empty if a command-line client opened it. */
  owner: z.string().max(256),
});
export type AgentTerminal = z.infer<typeof agentTerminal>;

export const terminalsResponse = z.object({ terminals: z.array(agentTerminal).max(1_024) });
/** `supported` is false for agents that do not list their terminals. */
export type TerminalsResponse = z.infer<typeof terminalsResponse> & { readonly supported?: boolean | undefined };

export const patchTerminalRequest = z.object({ title: z.string().max(1_024) });

/** What an agent can do beyond stock agents, each by the number of its revision; 0 if it cannot. */
export const agentCapabilities = z.object({
  terminal_framing: z.number().default(0),
  terminals: z.number().default(0),
  files: z.number().default(0),
});
export type AgentCapabilities = z.infer<typeof agentCapabilities>;

/** Answer to an upload. */
export interface UploadedFile {
  readonly path: string;
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}
