import { expect, test } from "vitest";
import { destinationOf } from "./sign-in.ts";

test.each([
  ["http://8080--main--dev--ada.near.example/a/../b?c=%2F", "8080--main--dev--ada.near.example", "/a/../b?c=%2F"],
  ["https://192.0.2.7:8443/@ada/dev/apps/code/", "192.0.2.7", "/@ada/dev/apps/code/"],
  ["http://[::1]:8080/@ada/dev/apps/code/", "[::1]", "/@ada/dev/apps/code/"],
  ["https://[2001:db8::7]/", "[2001:db8::7]", "/"],
])("%s leads to its host", (text, hostname, target) => {
  expect(destinationOf(text)).toMatchObject({ hostname, target });
});

test.each([
  ["ftp://near.example/"],
  ["http://near.example"],
  ["http://ada@near.example/"],
  ["http://near.example\\@evil.example/"],
  ["http://near.example/#a"],
  ["http://[::1]"],
  ["http://[0:0::1]/"],
  ["http://[::0001]/"],
  ["http://[::FFFF]/"],
  ["http://[::ffff:127.0.0.1]/"],
  ["http://[::1%25eth0]/"],
  ["http://[::1].evil.example/"],
  ["http://[::1]evil.example/"],
  ["http://[::1]@evil.example/"],
  ["http://[:::1]/"],
  ["http://[]/"],
])("%s is no destination: it is none of an app, or a parser would repair it", (text) => {
  expect(destinationOf(text)).toBeUndefined();
});
