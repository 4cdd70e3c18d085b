import { computed, signal } from "@preact/signals";
import type { User } from "coder-protocol/rest/users";
import type { LocalPage } from "../base/boot.ts";

/** Who is logged in. */
export const user = signal<User | null>(null);
/** Whether the deployment has its first user. */
export const ready = signal(true);

/** Set on a page of `coder open terminal --local`, and never changed. */
export const localPage = signal<LocalPage | undefined>(undefined);

export const isOwner = computed(() => user.value?.roles.some(({ name }) => name === "owner") ?? false);
