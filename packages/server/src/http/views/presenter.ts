import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { BrowserOnlyRule } from "coder-protocol/rest/connection-policy";
import type { Workspace, WorkspaceBuild } from "coder-protocol/rest/workspaces";
import type { WallClock } from "../../base/clock.ts";
import type { AgentRow, WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { browserOnlyBy } from "../../workspaces/browser-only.ts";
import type { WorkspaceLoader } from "../../workspaces/loader.ts";
import { agentView, type LiveAgent } from "./agents.ts";
import { buildView, type WorkspaceFacts, workspaceView } from "./workspaces.ts";

export interface PresenterOptions {
  readonly loader: WorkspaceLoader;
  readonly live: (agentId: string) => LiveAgent;
  /** Of the whole deployment; read for every answer. */
  readonly browserOnlyRule: () => Promise<BrowserOnlyRule>;
  readonly deployment: DeploymentIds;
  readonly maxShareLevel: WorkspaceFacts["maxShareLevel"];
  readonly clock: WallClock;
}

/** Workspaces, builds and agents as the bodies that clients expect: loads the data of the rows, then applies the views. */
export class WorkspacePresenter {
  readonly #options: PresenterOptions;

  constructor(options: PresenterOptions) {
    this.#options = options;
  }

  async workspaces(rows: readonly WorkspaceRow[]): Promise<Workspace[]> {
    const loaded = await this.#options.loader.workspaces(rows);
    const facts = await this.#facts();
    return loaded.map((workspace) => workspaceView(workspace, facts));
  }

  async workspace(row: WorkspaceRow): Promise<Workspace> {
    return (await this.workspaces([row]))[0]!;
  }

  async builds(workspace: WorkspaceRow, rows: readonly WorkspaceBuildRow[]): Promise<WorkspaceBuild[]> {
    const loaded = await this.#options.loader.builds(workspace, rows);
    const facts = await this.#facts();
    return loaded.map((build) => buildView(build, facts));
  }

  async build(workspace: WorkspaceRow, row: WorkspaceBuildRow): Promise<WorkspaceBuild> {
    return (await this.builds(workspace, [row]))[0]!;
  }

  async agent(row: AgentRow): Promise<WorkspaceAgent> {
    const { loader } = this.#options;
    const [loaded] = await loader.agents([row]);
    const facts = await this.#facts();
    const policies = await loader.policies(row);
    return agentView(loaded!, facts, facts.browserOnlyBy(policies.workspace, policies.owner) !== undefined);
  }

  async #facts(): Promise<WorkspaceFacts> {
    const { deployment, live, browserOnlyRule, maxShareLevel, clock } = this.#options;
    const rule = await browserOnlyRule();
    return {
      deployment,
      live,
      browserOnlyBy: ({ connection_policy: workspace }, user) => browserOnlyBy({ deployment: rule, user, workspace }),
      maxShareLevel,
      now: clock.now(),
    };
  }
}
