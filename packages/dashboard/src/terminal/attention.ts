/** When a program asks for the attention of a person who looks at another tab of the browser. */

/**
 * Whether an operating system command is a notification: OSC 9 with a text, and OSC 777 with "notify". OSC 9 with a number is a
 * command of ConEmu, such as the progress of a build, and asks for nothing.
 */
export function isNotification(command: 9 | 777, data: string): boolean {
  return command === 777 ? data.startsWith("notify;") : data !== "" && !/^\d+(?:;|$)/.test(data);
}
