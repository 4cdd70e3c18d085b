import type { IpAddress } from "../base/ip.ts";
import type { RandomSource } from "../base/ports.ts";
import { isPublicIpv4 } from "./external-address.ts";
import type { HttpUrl } from "./http-url.ts";
import {
  addMappingRequest,
  descriptionRequest,
  externalAddressRequest,
  findIgdServices,
  type HttpRequest,
  type IgdService,
  parseSoapAnswer,
} from "./igd.ts";

/** Codes for a port that is taken; IGDv1 also reports a second mapping to the same inside port by them. */
const CONFLICTS = new Set([718, 729]);
const ONLY_PERMANENT = 725;
/** Calls of AddPortMapping before it counts as refused. */
const MAX_ADDS = 4;

export interface IgdGoal {
  readonly self: IpAddress;
  readonly internalPort: number;
  readonly externalPort: number;
  readonly lifetimeS: number;
}

export type IgdStep =
  | { readonly kind: "request"; readonly request: HttpRequest }
  | {
      readonly kind: "mapped";
      readonly service: IgdService;
      readonly address: IpAddress;
      readonly externalPort: number;
    }
  /** `isPrivate`: the gateway would map, but its own outside address is private. */
  | { readonly kind: "failed"; readonly isPrivate: boolean };

/**
 * Maps a port on one gateway: its description, the outside address of each connection until one is public, then the
 * mapping. Pass it the body of each answer (undefined when there was none) and perform the step it returns.
 */
export class IgdConversation {
  readonly #goal: IgdGoal;
  readonly #random: RandomSource;
  readonly #locations: HttpUrl[];
  #services: IgdService[] = [];
  #asked: "description" | "address" | "mapping" = "description";
  #address: IpAddress | undefined;
  #externalPort: number;
  #lifetimeS: number;
  #adds = 0;
  #isPrivate = false;

  /** @param locations Descriptions to try, at least one; all on one host. */
  constructor(locations: readonly HttpUrl[], goal: IgdGoal, random: RandomSource) {
    this.#goal = goal;
    this.#random = random;
    this.#locations = [...locations];
    this.#externalPort = goal.externalPort;
    this.#lifetimeS = goal.lifetimeS;
  }

  /** The mapping requested by the exchange in progress; undefined before the first one. */
  get asked(): { readonly service: IgdService; readonly externalPort: number } | undefined {
    const service = this.#services[0];
    return service === undefined || this.#adds === 0 ? undefined : { service, externalPort: this.#externalPort };
  }

  start(): IgdStep {
    return this.#describe();
  }

  handleAnswer(body: string | undefined): IgdStep {
    switch (this.#asked) {
      case "description":
        return this.#described(body);
      case "address":
        return this.#addressed(body);
      case "mapping":
        return this.#added(body);
    }
  }

  #describe(): IgdStep {
    const location = this.#locations[0];
    if (location === undefined) return { kind: "failed", isPrivate: this.#isPrivate };
    this.#asked = "description";
    return { kind: "request", request: descriptionRequest(location) };
  }

  #described(body: string | undefined): IgdStep {
    const location = this.#locations.shift()!;
    this.#services = body === undefined ? [] : findIgdServices(body, location);
    return this.#askAddress();
  }

  #askAddress(): IgdStep {
    const service = this.#services[0];
    if (service === undefined) return this.#describe();
    this.#asked = "address";
    return { kind: "request", request: externalAddressRequest(service) };
  }

  #addressed(body: string | undefined): IgdStep {
    const answer = body === undefined ? undefined : parseSoapAnswer(body, "GetExternalIPAddress");
    if (answer?.kind === "address" && isPublicIpv4(answer.address)) {
      this.#address = answer.address;
      return this.#add();
    }
    if (answer?.kind === "address") this.#isPrivate = true;
    return this.#next();
  }

  #add(): IgdStep {
    this.#asked = "mapping";
    this.#adds++;
    const { self, internalPort } = this.#goal;
    const mapping = { self, internalPort, externalPort: this.#externalPort, lifetimeS: this.#lifetimeS };
    return { kind: "request", request: addMappingRequest(this.#services[0]!, mapping) };
  }

  #added(body: string | undefined): IgdStep {
    const service = this.#services[0]!;
    const answer = body === undefined ? undefined : parseSoapAnswer(body, "AddPortMapping");
    if (answer?.kind === "done")
      return { kind: "mapped", service, address: this.#address!, externalPort: this.#externalPort };
    if (answer?.kind !== "fault" || this.#adds >= MAX_ADDS) return this.#next();
    if (answer.code === ONLY_PERMANENT && this.#lifetimeS !== 0) this.#lifetimeS = 0;
    else if (CONFLICTS.has(answer.code)) this.#externalPort = 1024 + (this.#random.uint32() % (65_536 - 1024));
    else return this.#next();
    return this.#add();
  }

  #next(): IgdStep {
    this.#services.shift();
    this.#adds = 0;
    return this.#askAddress();
  }
}
