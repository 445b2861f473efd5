// Mistakes that must not compile, each with the sentence its author reads.
//
//   #ifdef MISTAKE_call_used_for_a_cast
//   // expect: bump has no reply: use cast
//   void mistake(roost::server<counter> c) { roost::call(c, counter::bump{}); }
//   #endif
//
// CTest compiles this file once per mistake, with -DMISTAKE_name, and passes when compilation fails
// and says every `expect` line of that block. Compiled without any mistake, the file must be
// correct, or else something other than the mistake might be what does not compile.
