import { testKillLoop } from "./kill-loop-test.ts";

testKillLoop(8);
