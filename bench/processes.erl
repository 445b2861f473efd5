%% The same work as processes.cpp, on Erlang: prints "figure value" lines.
-module(processes).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

init(N) -> {ok, N}.
handle_call(get, _From, N) -> {reply, N, N}.
handle_cast({bump, K}, N) -> {noreply, N + K}.
handle_info(_, N) -> {noreply, N}.

main() ->
    memory(),
    report(spawn, best(fun spawn_rate/0)),
    report(spawn_monitor_exit, best(fun monitor_rate/0)),
    report(ping_pong, best(fun ping_pong/0)),
    report(ring, best(fun ring/0)),
    report(one_way, best(fun one_way/0)),
    report(call_1, best(fun() -> calls(1, 300000) end)),
    report(call_100, best(fun() -> calls(100, 5000) end)),
    report(timer, best(fun timers/0)),
    report(ets_insert, best(fun ets_insert/0)),
    report(ets_lookup, ets_lookup()),
    halt().

report(Name, Value) -> io:format("~s ~w~n", [Name, Value]).
best(F) -> lists:max([F() || _ <- [1, 2, 3]]).
rate(N, F) ->
    T0 = erlang:monotonic_time(nanosecond),
    F(),
    N * 1000000000 / (erlang:monotonic_time(nanosecond) - T0).

memory() ->
    N = 100000,
    Before = rss(),
    Pids = [begin {ok, P} = gen_server:start(?MODULE, 0, []), P end || _ <- lists:seq(1, N)],
    [gen_server:call(P, get) || P <- Pids],
    report(bytes_idle, (rss() - Before) / N),
    [exit(P, kill) || P <- Pids],
    wait_gone(Pids).

rss() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(Text, " "),
    binary_to_integer(Pages) * 4096.

wait_gone([P | Rest]) ->
    R = monitor(process, P),
    receive {'DOWN', R, _, _, _} -> wait_gone(Rest) end;
wait_gone([]) -> ok.

spawn_rate() ->
    N = 200000,
    rate(N, fun() ->
        Me = self(),
        [spawn(fun() -> ok end) || _ <- lists:seq(1, N - 1)],
        spawn(fun() -> Me ! done end),
        receive done -> ok end
    end).

monitor_rate() ->
    N = 200000,
    rate(N, fun() -> monitor_loop(N) end).
monitor_loop(0) -> ok;
monitor_loop(N) ->
    {_, R} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', R, _, _, _} -> monitor_loop(N - 1) end.

ping_pong() ->
    N = 1000000,
    Echo = spawn_link(fun echo/0),
    Rate = rate(2 * N, fun() -> ping(Echo, N) end),
    unlink(Echo), exit(Echo, kill),
    Rate.
echo() -> receive {P, V} -> P ! V, echo() end.
ping(_, 0) -> ok;
ping(E, N) -> E ! {self(), N}, receive N -> ping(E, N - 1) end.

ring() ->
    N = 1000, Rounds = 1000,
    Me = self(),
    First = build(N, Me),
    Rate = rate(N * Rounds, fun() -> First ! Rounds, receive done -> ok end end),
    exit(First, kill),
    Rate.
build(N, Me) ->
    First = spawn(fun() -> receive {next, Next} -> head(Next, Me) end end),
    Last = lists:foldl(fun(_, Next) -> spawn(fun() -> hop(Next) end) end, First, lists:seq(2, N)),
    First ! {next, Last},
    First.
head(Next, Me) -> receive 0 -> Me ! done, head(Next, Me); K -> Next ! K - 1, head(Next, Me) end.
hop(Next) -> receive K -> Next ! K, hop(Next) end.

one_way() ->
    N = 1000000,
    Me = self(),
    Sink = spawn_link(fun() -> sink(N, Me) end),
    rate(N, fun() -> flood(Sink, N), receive done -> ok end end).
sink(0, Me) -> Me ! done;
sink(N, Me) -> receive {msg, _} -> sink(N - 1, Me) end.
flood(_, 0) -> ok;
flood(S, N) -> S ! {msg, N}, flood(S, N - 1).

calls(Callers, Each) ->
    {ok, S} = gen_server:start(?MODULE, 1, []),
    Me = self(),
    Rate = rate(Callers * Each, fun() ->
        [spawn_link(fun() -> call_loop(S, Each), Me ! done end) || _ <- lists:seq(1, Callers)],
        [receive done -> ok end || _ <- lists:seq(1, Callers)]
    end),
    exit(S, kill),
    Rate.
call_loop(_, 0) -> ok;
call_loop(S, N) -> gen_server:call(S, get), call_loop(S, N - 1).

timers() ->
    N = 500000,
    rate(N, fun() -> timer_loop(N) end).
timer_loop(0) -> ok;
timer_loop(N) -> erlang:cancel_timer(erlang:send_after(30000, self(), x)), timer_loop(N - 1).

%% A public set, as the one in processes.cpp.
-define(ROWS, 100000).

ets_insert() ->
    T = ets:new(t, [set, public]),
    Rate = rate(?ROWS, fun() -> fill(T, ?ROWS) end),
    ets:delete(T),
    Rate.

fill(_, 0) -> ok;
fill(T, N) -> ets:insert(T, {N, N}), fill(T, N - 1).

ets_lookup() ->
    T = ets:new(t, [set, public]),
    fill(T, ?ROWS),
    best(fun() -> rate(1000000, fun() -> lookups(T, 1000000, 12345) end) end).

lookups(_, 0, _) -> ok;
lookups(T, N, X) ->
    K = (X * 1103515245 + 12345) band 16#7fffffff,
    [{_, _}] = ets:lookup(T, K rem ?ROWS + 1),
    lookups(T, N - 1, K).
