import { expect, test } from "vitest";
import { parseAppText } from "./app-text.ts";

test("an app in one word", () => {
  expect(
    parseAppText('slug=code,url=http://127.0.0.1:8080/?a=b,c=d,name="VS Code",share=owner,health=/healthz'),
  ).toEqual({
    slug: "code",
    url: "http://127.0.0.1:8080/?a=b,c=d",
    display_name: "VS Code",
    sharing_level: "owner",
    healthcheck: { url: "http://127.0.0.1:8080/healthz", interval: 10, threshold: 6 },
  });
  expect(parseAppText("slug=top,command=htop -d 5,group=Tools")).toEqual({
    slug: "top",
    command: "htop -d 5",
    group: "Tools",
  });
});

test.each([
  ["", "it takes slug="],
  ["code", "it takes slug="],
  ["url=http://localhost", "holds no slug="],
  ["slug=a,slug=b", "holds slug= twice"],
  ["slug=a,colour=red,url=x", undefined],
  ["colour=red,slug=a", 'holds "colour=red"'],
])("%j", (text, error) => {
  if (error === undefined) expect(parseAppText(text)).toEqual({ slug: "a,colour=red", url: "x" });
  else expect(parseAppText(text)).toEqual({ error: expect.stringContaining(error) });
});
