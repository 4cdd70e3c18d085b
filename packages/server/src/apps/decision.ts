/** Decides who may use an app. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import { narrowerLevel } from "../base/share-level.ts";
import type { AppChoices } from "../db/app-choices.ts";
import type { Role } from "../db/schema.ts";

/** A user with valid credentials: an active account, and a key that may be used for apps. */
export interface Visitor {
  readonly userId: string;
  readonly keyId: string;
  readonly role: Role;
}

/** One program in one workspace. */
export interface AppTarget extends AppChoices {
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly agentId: string;
  readonly port: number;
  /** Whether the program expects TLS. */
  readonly secure: boolean;
  /** Prefix of every path that the program receives; usually "". */
  readonly basePath: string;
  /** The query of the program's first page, with the question mark; usually "". */
  readonly query: string;
  /** The level of the port's share or of the declared app; "owner" if it has neither. */
  readonly level: ShareLevel;
  /** When the share expires; undefined if it does not. */
  readonly shareEndsAt: number | undefined;
  /** Which `Host` the program receives. */
  readonly hostHeader: "preserve" | "localhost";
}

/** The rules for apps below a path of the deployment's own host. */
export interface PathRules {
  /** Whether the app's sharing level applies; if false, only the owner may use the app. */
  readonly sharing: boolean;
  /** Whether users with the role "owner" may use the apps of other users. */
  readonly siteOwnerAccess: boolean;
}

export interface DecisionRules {
  readonly maxLevel: ShareLevel;
  readonly now: number;
  /** Undefined for an app with a host of its own. */
  readonly path?: PathRules | undefined;
}

/**
 * The right of one visitor to one program. Only {@link AppDecision.make} creates one, and a tunnel opens a connection only if it
 * is given one, so no program can be reached without a decision.
 */
export class AppDecision {
  readonly target: AppTarget;
  readonly visitor: Visitor | undefined;

  private constructor(target: AppTarget, visitor: Visitor | undefined) {
    this.target = target;
    this.visitor = visitor;
  }

  /**
   * @param target Undefined if there is no such app; visitors cannot tell this from an app that they may not use.
   * @returns "sign-in" if the visitor might be admitted after signing in.
   */
  static make(
    target: AppTarget | undefined,
    visitor: Visitor | undefined,
    rules: DecisionRules,
  ): AppDecision | "sign-in" | "not-found" {
    const denied = visitor === undefined ? "sign-in" : "not-found";
    if (target === undefined) return denied;
    const expired = target.shareEndsAt !== undefined && target.shareEndsAt <= rules.now;
    const ownerOnly = expired || rules.path?.sharing === false;
    const level = ownerOnly ? "owner" : narrowerLevel(target.level, rules.maxLevel);
    if (level === "public") return new AppDecision(target, visitor);
    if (visitor === undefined) return "sign-in";
    const administers = visitor.role === "owner" && rules.path?.siteOwnerAccess !== false;
    const owns = visitor.userId === target.ownerId || administers;
    return owns || level !== "owner" ? new AppDecision(target, visitor) : "not-found";
  }
}

/** Whether two targets lead to the same program, so that a decision about one is valid for the other. */
export function sameProgram(a: AppTarget, b: AppTarget): boolean {
  return a.agentId === b.agentId && a.port === b.port && a.secure === b.secure && a.basePath === b.basePath;
}
