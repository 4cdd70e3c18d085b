/** Who may use an app. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import { narrowerLevel } from "../base/share-level.ts";
import type { AppChoices } from "../db/app-choices.ts";
import type { Role } from "../db/schema.ts";

/** A user whose credentials hold: active, with a key that is valid for apps. */
export interface Visitor {
  readonly userId: string;
  readonly keyId: string;
  readonly role: Role;
}

/** One program of one workspace. */
export interface AppTarget extends AppChoices {
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly agentId: string;
  readonly port: number;
  /** Whether the program speaks https. */
  readonly secure: boolean;
  /** In front of every path that the program gets; "" for most. */
  readonly basePath: string;
  /** What its first page is asked with, with the question mark; "" for most. */
  readonly query: string;
  /** Of its share, or of the declared app; "owner" without one. */
  readonly level: ShareLevel;
  /** When its share ends; undefined: it does not. */
  readonly shareEndsAt: number | undefined;
  /** What the program gets for `Host`. */
  readonly hostHeader: "preserve" | "localhost";
}

/** What an app below a path of the deployment's own host may be used for. */
export interface PathRules {
  /** Whether its level counts; otherwise it is the owner's alone. */
  readonly sharing: boolean;
  /** Whether owners of the deployment get into the apps of others. */
  readonly siteOwnerAccess: boolean;
}

export interface DecisionRules {
  readonly maxLevel: ShareLevel;
  readonly now: number;
  /** Undefined for an app with a host of its own. */
  readonly path?: PathRules | undefined;
}

/**
 * The right of one visitor to one program. Only {@link AppDecision.make} creates one, and only with one does a tunnel open a
 * connection: what was not decided cannot be reached.
 */
export class AppDecision {
  readonly target: AppTarget;
  readonly visitor: Visitor | undefined;

  private constructor(target: AppTarget, visitor: Visitor | undefined) {
    this.target = target;
    this.visitor = visitor;
  }

  /**
   * @param target Undefined: there is no such app, which a visitor cannot tell from one that is not theirs.
   * @returns "sign-in" when a visitor who signs in may be admitted.
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

/** Whether two targets lead to the same bytes: what was decided about one holds for the other. */
export function sameProgram(a: AppTarget, b: AppTarget): boolean {
  return a.agentId === b.agentId && a.port === b.port && a.secure === b.secure && a.basePath === b.basePath;
}
