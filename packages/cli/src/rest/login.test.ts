import { createFirstUserRequest } from "coder-protocol/rest/users";
import { expect, it } from "vitest";
import { emailProblem, newPasswordProblem, userNameProblem } from "./login.ts";

const good = { username: "jo", email: "jo@example.com", password: "correct horse battery" };

it.each([
  ["username", userNameProblem, "me", 'The user name "me" is reserved.'],
  ["username", userNameProblem, "Me", 'The user name "Me" is reserved.'],
  ["username", userNameProblem, "", "The user name is empty."],
  ["username", userNameProblem, "jo doe", /^The user name "jo doe" is not valid: /],
  ["email", emailProblem, "jo", "An email address has the form name@example.com."],
  ["password", newPasswordProblem, "short", "The password must have at least 8 characters."],
  ["password", newPasswordProblem, "aaaaaaaa", "The password must have at least 5 different characters."],
  ["password", newPasswordProblem, "letmein2026", "The password is among the most common passwords."],
] as const)(
  "says what the server would refuse in a %s before the next question: %s %j",
  (field, problem, text, said) => {
    expect(problem(text)).toMatch(said);
    expect(createFirstUserRequest.safeParse({ ...good, [field]: text }).success).toBe(false);
  },
);

it("accepts what the server accepts", () => {
  expect([userNameProblem(good.username), emailProblem(good.email), newPasswordProblem(good.password)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(createFirstUserRequest.safeParse(good).success).toBe(true);
});
