// Loaded before a program of the test to set its wall clock ahead. Monotonic time and timers are unchanged.
const SHIFT_MS = 5 * 60_000;
const SystemDate = Date;
const now = () => SystemDate.now() + SHIFT_MS;

globalThis.Date = new Proxy(SystemDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new SystemDate(now()).toString(),
  get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
});
