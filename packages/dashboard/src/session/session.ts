import { computed, signal } from "@preact/signals";
import type { User } from "coder-protocol/rest/users";

/** Who is logged in. */
export const user = signal<User | null>(null);
/** Whether the deployment has its first user. */
export const ready = signal(true);

export const isOwner = computed(() => user.value?.roles.some(({ name }) => name === "owner") ?? false);
