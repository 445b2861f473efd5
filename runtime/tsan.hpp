// private: what the thread sanitizer has to be told, because it cannot see it. Nothing in other
// builds.
//
// The CAF library is not instrumented, so the sanitizer sees neither the order that CAF's mailboxes
// make nor who reads and writes in its handlers' frames. What a thread does as CAF is therefore not
// checked; its atomics and mutexes still count. CAF's reference counts are compiled again in
// caf_system.cpp.
#pragma once

#if defined(__SANITIZE_THREAD__)
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);  // reads and writes
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace roost::detail {

/// While it lives, this thread runs CAF's code.
class unseen {
 public:
  unseen() noexcept {
#if defined(__SANITIZE_THREAD__)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
#endif
  }
  unseen(const unseen&) = delete;
  unseen& operator=(const unseen&) = delete;
  ~unseen() {
#if defined(__SANITIZE_THREAD__)
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
};

}  // namespace roost::detail
