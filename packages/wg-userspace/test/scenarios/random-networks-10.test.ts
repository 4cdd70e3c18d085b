import { describe } from "vitest";
import { testNetworks } from "./random-networks.ts";

describe("random networks: direct where it can be, relayed where not, and not a byte lost", () => testNetworks(10, 10));
