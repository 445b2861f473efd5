%% The same work as supervision.cpp, on Erlang's supervisor: prints "figure value" lines.
-module(supervision).
-behaviour(supervisor).
-export([main/0, init/1, start_child/1, start_child/2, init_child/2]).
-export([handle_call/3, handle_cast/2, handle_info/2]).

%% A child is a gen_server that says when it has started.
start_child(To) -> gen_server:start_link(?MODULE, {child, To}, []).
start_child(To, _Number) -> start_child(To).
init_child(none, State) -> {ok, State};
init_child(To, State) -> To ! {started, self()}, {ok, State}.
handle_call(_, _, S) -> {reply, ok, S}.
handle_cast(_, S) -> {noreply, S}.
handle_info(_, S) -> {noreply, S}.

init({child, To}) -> init_child(To, 0);
init({children, Count, To}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1},
          [#{id => N, start => {?MODULE, start_child, [To]}} || N <- lists:seq(1, Count)]}};
init({dynamic, Restart}) ->
    {ok, {#{strategy => simple_one_for_one, intensity => 1000000000, period => 1},
          [#{id => child, start => {?MODULE, start_child, [none]}, restart => Restart}]}}.

main() ->
    logger:set_primary_config(level, none),
    report(restart_one, best(fun() -> restarts(1, 1000) end)),
    report(restart_100, best(fun() -> restarts(100, 10) end)),
    report(dynamic_start_stop, best(fun() -> start_stop(temporary) end)),
    report(dynamic_permanent, best(fun() -> start_stop(permanent) end)),
    report(dynamic_terminate, best(fun() -> start_terminate() end)),
    halt().

report(Name, Value) -> io:format("~s ~w~n", [Name, Value]).
best(F) -> lists:max([F() || _ <- [1, 2, 3]]).
rate(N, F) ->
    T0 = erlang:monotonic_time(nanosecond),
    F(),
    N * 1000000000 / (erlang:monotonic_time(nanosecond) - T0).

%% Kills all children, waits for their successors, and so on. OTP's supervisor looks at every restart
%% within its period, which is a second at least, so each measurement is short and begins with none.
restarts(Count, Rounds) ->
    timer:sleep(2000),
    {ok, Sup} = supervisor:start_link(?MODULE, {children, Count, self()}),
    First = [receive {started, P} -> P end || _ <- lists:seq(1, Count)],
    Rate = rate(Count * Rounds, fun() -> rounds(Rounds, First) end),
    stop(Sup),
    flush(),
    Rate.
rounds(0, _) -> ok;
rounds(N, Pids) ->
    [exit(P, kill) || P <- Pids],
    rounds(N - 1, [receive {started, P} -> P end || _ <- Pids]).
flush() -> receive {started, _} -> flush() after 0 -> ok end.

start_stop(Restart) ->
    N = 100000,
    {ok, Sup} = supervisor:start_link(?MODULE, {dynamic, Restart}),
    rate(N, fun() ->
        [{ok, _} = supervisor:start_child(Sup, [I]) || I <- lists:seq(1, N)],
        stop(Sup)
    end).

start_terminate() ->
    N = 100000,
    {ok, Sup} = supervisor:start_link(?MODULE, {dynamic, temporary}),
    Rate = rate(N, fun() ->
        Pids = [begin {ok, P} = supervisor:start_child(Sup, [I]), P end || I <- lists:seq(1, N)],
        [ok = supervisor:terminate_child(Sup, P) || P <- Pids]
    end),
    stop(Sup),
    Rate.

stop(Sup) ->
    unlink(Sup),
    Ref = monitor(process, Sup),
    exit(Sup, shutdown),
    receive {'DOWN', Ref, _, _, _} -> ok end.
