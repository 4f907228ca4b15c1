// Parts of the shell and the controls that need no DOM.
import assert from "node:assert/strict";
import test from "node:test";

import { searchHits } from "../../resviz/views/widgets/frontend/search.js";
import { csvText } from "../../resviz/views/widgets/frontend/shell.js";

test("csv: quotes, commas, line ends, nothing", () => {
  const text = csvText([
    ["a", 'say "b"', "c,d"],
    [1.5, null, "two\nlines"],
  ]);
  assert.equal(text, 'a,"say ""b""","c,d"\r\n1.5,,"two\nlines"\r\n');
});

test("search: the beginning counts first, then anywhere, then the number", () => {
  const names = ["tabby", "Egyptian cat", "cat", "tiger cat", "dog"];
  assert.deepEqual(searchHits(names, "CAT"), [2, 1, 3]);
  assert.deepEqual(searchHits(names, "4"), [4]);
  assert.deepEqual(searchHits(names, "x"), []);
  assert.deepEqual(searchHits(names, " ", 2), [0, 1]);
});

test("search: in a given order, the whole name and the beginnings of words first", () => {
  const names = ["wildcat", "cat flap", "Egyptian cat", "cat", "tiger cat"];
  assert.deepEqual(searchHits(names, "cat", 12, [4, 2, 0, 1, 3]), [3, 1, 4, 2, 0]);
  assert.deepEqual(searchHits(names, "", 3, [4, 2, 0, 1, 3]), [4, 2, 0]);
  assert.deepEqual(searchHits(names, "2", 12, [4, 2, 0, 1, 3]), [2]);
});
