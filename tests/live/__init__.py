"""The live pages in a real browser, their numbers against the library's."""
