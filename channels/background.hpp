// private: one thread for long computations that serve one client, while the workers serve the
// others.
//
// It runs at a lower priority than the workers and does one thing after the other, so that whoever
// causes the work waits for it and nobody else does. For what waits for files or networks there is
// blocking().
//
//   in_background([frame] { frame->check(); }, [this, frame] { dispatch(*frame); });
#pragma once
#include <functional>

namespace roost::detail {

/// Runs `work` in the background, then `done` in the calling process, unless that has ended.
void in_background(std::function<void()> work, std::function<void()> done);

}  // namespace roost::detail
