// Runs the same calls from several threads at once.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

// Whether check(often) and check(i) are right in each of four threads, i the number of the thread.
template <class Check>
bool right_together(Check check, unsigned often) {
  std::vector<char> right(4, 0);
  std::vector<std::thread> callers;
  for (unsigned i = 0; i < right.size(); ++i) {
    callers.emplace_back([&right, &check, often, i] { right[i] = check(often) && check(i); });
  }
  for (std::thread& caller : callers) caller.join();
  return std::all_of(right.begin(), right.end(), [](char one) { return one != 0; });
}
