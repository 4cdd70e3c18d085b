/** Decides who may use which app below a path of this proxy's own host: asks the primary, and lets a browser sign in there. */
import { MAX_ASKED_NAME_LENGTH } from "coder-protocol/rest/proxy-apps";
import type { Admission } from "../../apps/app-traffic.ts";
import type { AppAnswer } from "../../apps/pages.ts";
import { type PathAsked, type PathGate, pathLoginNeeded } from "../../apps/path-gate.ts";
import type { AppQuestions, Visit } from "./app-questions.ts";

export class ProxyPathGate implements PathGate {
  readonly #questions: AppQuestions;

  constructor(questions: AppQuestions) {
    this.#questions = questions;
  }

  async redeem(asked: PathAsked): Promise<AppAnswer | undefined> {
    const { method, upgrade } = asked.facts;
    if (upgrade || (method !== "GET" && method !== "HEAD")) return undefined;
    return await this.#questions.redeem(visitOf(asked));
  }

  async admit(asked: PathAsked): Promise<Admission | AppAnswer> {
    return await this.#questions.admit(visitOf(asked), {
      relation: asked.relation,
      answerRelation: asked.relation,
      prefix: asked.prefix,
      rest: asked.rest,
      onMainHost: true,
      loginNeeded: () => pathLoginNeeded(asked),
      readable: (answer) => answer,
    });
  }
}

function visitOf({ request, facts, hostname, origin, names, prefix }: PathAsked): Visit {
  return {
    request,
    facts,
    hostname,
    origin,
    named: {
      access_method: "path",
      base_path: `${prefix}/`,
      app_prefix: "",
      username_or_id: asked(names.owner),
      workspace_name_or_id: asked(names.workspace),
      agent_name_or_id: asked(names.agent ?? ""),
      app_slug_or_port: names.slug,
    },
  };
}

/** Shortens names that are too long to send. Neither the name nor its beginning exists, so the primary answers as for any unknown app. */
function asked(name: string): string {
  return name.slice(0, MAX_ASKED_NAME_LENGTH);
}
