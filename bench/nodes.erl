%% The same work as nodes.cpp, on Erlang's distribution: prints "figure value" lines. The other nodes are
%% started by this one, with the same flags.
-module(nodes).
-behaviour(gen_server).
-export([main/0, peer/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

init(_) -> {ok, 0}.
handle_call(count, _, Count) -> {reply, Count, 0};
handle_call(os_pid, _, Count) -> {reply, list_to_integer(os:getpid()), Count};
handle_call({echo, Text}, _, Count) -> {reply, Text, Count}.
handle_cast(_, Count) -> {noreply, Count}.
handle_info({load, _}, Count) -> {noreply, Count + 1}.

peer() ->
    {ok, _} = gen_server:start({local, sink}, ?MODULE, [], []),
    %% Ends with the node that has started it.
    spawn(fun() -> io:get_line("") , erlang:halt(0) end).

main() ->
    Flags = os:getenv("BENCH_FLAGS"),
    Peers = [start_peer(N, Flags) || N <- lists:seq(1, 7)],
    [First | _] = Peers,
    report(one_way, best(3, fun() -> one_way([First], 1000000) end)),
    {P50, P99} = latency(First, 20000),
    report(call_p50, P50),
    report(call_p99, P99),
    report(callers_100, best(3, fun() -> callers(First, 100, 2000) end)),
    [report(Key, cost(lists:sublist(Peers, Count - 1)))
     || {Key, Count} <- [{cost_2, 2}, {cost_4, 4}, {cost_8, 8}]],
    erlang:halt(0).

start_peer(N, Flags) ->
    Name = "peer" ++ integer_to_list(N) ++ "@127.0.0.1",
    open_port({spawn, "erl " ++ Flags ++ " -name " ++ Name ++ " -noshell -s nodes peer"}, []),
    Node = list_to_atom(Name),
    wait_for(Node, 200),
    Node.

wait_for(Node, 0) -> exit({no_node, Node});
wait_for(Node, Left) ->
    case net_adm:ping(Node) =:= pong andalso is_pid(rpc:call(Node, erlang, whereis, [sink])) of
        true -> ok;
        false -> timer:sleep(50), wait_for(Node, Left - 1)
    end.

report(Name, Value) -> io:format("~s ~w~n", [Name, float(Value)]).

best(Times, Measure) -> lists:max([Measure() || _ <- lists:seq(1, Times)]).

micro() -> erlang:monotonic_time(microsecond).

%% Messages of 100 bytes to the sinks in turn; the last answers say that all have come.
one_way(Nodes, Total) ->
    Parent = self(),
    Begin = micro(),
    spawn(fun() ->
        Load = {load, list_to_binary(lists:duplicate(100, $x))},
        Sinks = [rpc:call(Node, erlang, whereis, [sink]) || Node <- Nodes],
        send(Total, Load, Sinks, Sinks),
        Counts = [gen_server:call({sink, Node}, count, infinity) || Node <- Nodes],
        Parent ! {done, lists:sum(Counts)}
    end),
    receive {done, Total} -> ok end,
    Total * 1000000 / (micro() - Begin).

send(0, _, _, _) -> ok;
send(N, Load, [], Sinks) -> send(N, Load, Sinks, Sinks);
send(N, Load, [Sink | Rest], Sinks) -> Sink ! Load, send(N - 1, Load, Rest, Sinks).

latency(Node, Count) ->
    Text = list_to_binary(lists:duplicate(20, $x)),
    Times = lists:sort([begin
        Begin = micro(),
        Text = gen_server:call({sink, Node}, {echo, Text}),
        micro() - Begin
    end || _ <- lists:seq(1, Count)]),
    {lists:nth(Count div 2, Times), lists:nth(Count * 99 div 100, Times)}.

callers(Node, Callers, Each) ->
    Parent = self(),
    Text = list_to_binary(lists:duplicate(20, $x)),
    Begin = micro(),
    [spawn(fun() ->
        [gen_server:call({sink, Node}, {echo, Text}, infinity) || _ <- lists:seq(1, Each)],
        Parent ! done
    end) || _ <- lists:seq(1, Callers)],
    [receive done -> ok end || _ <- lists:seq(1, Callers)],
    Callers * Each * 1000000 / (micro() - Begin).

%% Processor time of all nodes for one message, in nanoseconds.
cost(Nodes) ->
    Total = 600000,
    Pids = [list_to_integer(os:getpid()) | [gen_server:call({sink, N}, os_pid) || N <- Nodes]],
    Before = lists:sum([ticks(P) || P <- Pids]),
    one_way(Nodes, Total),
    (lists:sum([ticks(P) || P <- Pids]) - Before) * 10000000 / Total.

ticks(Pid) ->
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/stat"),
    [_, Rest] = string:split(Text, ") "),
    Fields = string:lexemes(Rest, " "),
    binary_to_integer(lists:nth(12, Fields)) + binary_to_integer(lists:nth(13, Fields)).
