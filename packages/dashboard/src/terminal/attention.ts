/** Recognises when a program asks for the attention of a user who looks at another browser tab. */

/**
 * Whether an operating system command is a notification: OSC 9 with a text, or OSC 777 with "notify". OSC 9 with a number is a
 * ConEmu command, such as the progress of a build, and is no notification.
 */
export function isNotification(command: 9 | 777, data: string): boolean {
  return command === 777 ? data.startsWith("notify;") : data !== "" && !/^\d+(?:;|$)/.test(data);
}
