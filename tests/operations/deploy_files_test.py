"""The files for systemd, containers and Kubernetes, against a real release and the real program:
usage deploy_files_test.py BUILD_DIRECTORY.

Containers cannot be built here. So what these files copy, run and ask is looked for in the release,
and the program is started with their settings, at addresses of this machine.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

try:
    import yaml
except ImportError:  # another Python than Debian's, which has it
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../channels"))
from conformance_node import eventually, free_port  # noqa: E402

BUILD = sys.argv[1]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)?", str(text)).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, None: 1}[unit]


class Running:
    """The program of the release with these words and variables; ended by `stop`."""

    def __init__(self, program, words, variables, port):
        self.program, self.port = program, port
        self.folder = tempfile.TemporaryDirectory()
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": self.folder.name, "RELEASE_TMP": self.folder.name,
            "ERL_EPMD_PORT": str(free_port()), **variables}
        self.log = open(os.path.join(self.folder.name, "out"), "w+")
        self.process = subprocess.Popen(
            [program, *words], env=self.environment, stdout=self.log, stderr=self.log)

    def get(self, path, port=None):
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{port or self.port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def serves(self):
        return eventually(lambda: self.process.poll() is not None or self.get("/ready") == 200, 20) \
            and self.process.poll() is None

    def text(self):
        with open(self.log.name) as file:
            return file.read()

    def run(self, words):
        return subprocess.run([self.program, *words], env=self.environment, capture_output=True,
                              text=True, timeout=60)

    def stop(self):
        """Also a second time."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(60)
        self.log.close()
        self.folder.cleanup()
        return code


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.output = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.output.cleanup)
        subprocess.run(["script/release", "chat", "--build", BUILD, "--output", cls.output.name],
                       check=True, capture_output=True)
        names = [name for name in os.listdir(cls.output.name) if not name.endswith(".zst")]
        assert len(names) == 1, names
        cls.name, cls.root = names[0], os.path.join(cls.output.name, names[0])
        cls.cookie = secrets.token_hex(32)

    def inside(self, path):
        """Where a path of an image is in the release."""
        self.assertTrue(path.startswith("/opt/chat/"), path)
        return path.replace("/opt/chat", self.root, 1)

    def start(self, words, port, **variables):
        running = Running(os.path.join(self.root, "bin/chat"), words, variables, port)
        self.addCleanup(running.stop)
        return running


class Systemd(Release):
    def unit(self, kind):
        with open(os.path.join(self.root, "share/systemd", f"chat{kind}.service")) as file:
            return file.read()

    def settings(self, kind):
        """Of the section Service; of a key that is there twice, all values."""
        found = {}
        for line in self.unit(kind).splitlines():
            if re.match(r"\w+=", line):
                key, value = line.split("=", 1)
                found.setdefault(key, []).append(value)
        return found

    def test_systemd_understands_the_units(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("there is no systemd-analyze")
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("", "@"):
                text = self.unit(kind).replace("/opt/chat", self.root)
                path = os.path.join(folder, f"chat{kind}.service")
                with open(path, "w") as file:
                    file.write(text.replace("User=chat", "User=root"))
                answer = subprocess.run(["systemd-analyze", "verify", path.replace("@", "@1")],
                                        capture_output=True, text=True)
                own = [line for line in (answer.stdout + answer.stderr).splitlines()
                       if os.path.basename(path) in line]
                self.assertEqual(own, [])

    def test_a_node_has_time_to_stop_and_descriptors(self):
        with open("conf/chat.yaml") as file:
            limit = seconds(yaml.safe_load(file)["node"]["shutdown_timeout"])
        for kind in ("", "@"):
            settings = self.settings(kind)
            self.assertEqual(settings["Type"], ["notify"])
            self.assertGreater(seconds(settings["TimeoutStopSec"][0]), limit)
            self.assertGreaterEqual(int(settings["LimitNOFILE"][0]), 200_000)
            self.assertGreater(seconds(settings["WatchdogSec"][0]), 0)
            program = settings["ExecStart"][0].split()[0]
            self.assertTrue(os.access(self.inside(program), os.X_OK))

    def test_two_nodes_of_the_template_find_each_other(self):
        epmd = str(free_port())
        nodes = []
        for i in "12":
            line = self.settings("@")["Environment"][0].replace("%i", i)
            variables = dict(pair.split("=", 1) for pair in line.split())
            self.assertEqual(variables["PORT"], f"400{i}")
            variables.update(PORT=str(free_port()), ERL_EPMD_PORT=epmd, RELEASE_COOKIE=self.cookie)
            nodes.append(self.start(["start", "--set=cluster.topologies.here.strategy=local"],
                                    int(variables["PORT"]), **variables))
        for node in nodes:
            self.assertTrue(node.serves(), node.text())
        self.assertTrue(eventually(lambda: "node up node=chat2@127.0.0.1" in nodes[0].text()
                                   or "node up node=chat1@127.0.0.1" in nodes[1].text(), 20),
                        nodes[0].text())


class Docker(Release):
    def dockerfile(self):
        with open("conf/docker/Dockerfile") as file:
            lines = [line.split(None, 1) for line in file if line.strip() and line[0] != "#"]
        return [(word, rest.strip()) for word, rest in lines]

    def test_the_image_copies_and_runs_what_is_there(self):
        arguments, programs = {}, []
        for word, rest in self.dockerfile():
            if word == "ARG":
                name, value = rest.split("=", 1)
                arguments[name] = value
            if word == "COPY":
                source, target = rest.split()
                source = source.replace("${RELEASE}", arguments["RELEASE"])
                self.assertEqual(source, f"build/releases/{self.name}/")
                self.assertEqual(target, "/opt/chat/")
            if "[" in rest:
                programs.append(json.loads(rest[rest.index("["):]))
        self.assertEqual(programs[-2:], [["/opt/chat/bin/chat"], ["start"]])
        for words in programs[:-1]:
            self.assertTrue(os.access(self.inside(words[0]), os.X_OK), words)

    def compose(self):
        with open("conf/docker/compose.yaml") as file:
            return yaml.safe_load(file)

    def test_the_addresses_of_compose_are_those_of_the_balancer(self):
        services = self.compose()["services"]
        addresses = {name: service["networks"]["default"]["ipv4_address"]
                     for name, service in services.items()}
        with open("conf/haproxy.cfg") as file:
            servers = dict(re.findall(r"^  server (\w+) (\S+)", file.read(), re.M))
        port = dict(self.dockerfile())["EXPOSE"]
        balancer = addresses.pop("balancer")
        self.assertEqual(servers, {name: f"{ip}:{port}" for name, ip in addresses.items()})
        for name in addresses:
            service = services[name]
            self.assertEqual(service["environment"]["RELEASE_NODE"], f"chat@{addresses[name]}")
            self.assertIn(f"--set=endpoint.trusted_proxies=[{balancer}]", service["command"])
        source = services["balancer"]["volumes"][0].split(":")[0]
        self.assertTrue(os.path.isfile(os.path.join("conf/docker", source)))

    def test_the_program_takes_the_settings_of_compose(self):
        port = free_port()
        for name in "abc":
            service = self.compose()["services"][name]
            words = [word.replace("0.0.0.0", "127.0.0.1").replace("10.0.0.", "127.0.0.")
                     for word in service["command"]]
            node = self.start(words, port, PORT=str(port), RELEASE_COOKIE=self.cookie,
                              RELEASE_NODE=f"chat_{name}@127.0.0.1")
            self.assertTrue(node.serves(), node.text())
            self.assertGreater(seconds(service["stop_grace_period"]), 30)
            self.assertEqual(node.run(["ping"]).stdout, "pong\n")
            # Not in order, which takes the delay of each.
            node.process.kill()
            node.process.wait()


class Kubernetes(Release):
    def objects(self):
        found = {}
        for name in ("secret", "chat"):
            with open(f"conf/kubernetes/{name}.yaml") as file:
                for one in yaml.safe_load_all(file):
                    found[one["kind"], one["metadata"]["name"]] = one
        return found

    def pod(self):
        return self.objects()["Deployment", "chat"]["spec"]["template"]

    def container(self):
        (only,) = self.pod()["spec"]["containers"]
        return only

    def configuration(self):
        return self.objects()["ConfigMap", "chat"]["data"]["chat.yaml"]

    def test_objects_name_each_other(self):
        objects, labels = self.objects(), self.pod()["metadata"]["labels"]
        settings = yaml.safe_load(self.configuration())
        ports = {port["name"]: port["containerPort"] for port in self.container()["ports"]}
        self.assertEqual(objects["Deployment", "chat"]["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(objects["PodDisruptionBudget", "chat"]["spec"]["selector"]["matchLabels"],
                         labels)
        service = objects["Service", "chat"]["spec"]
        headless = objects["Service", settings["cluster"]["topologies"]["pods"]["service"]]["spec"]
        self.assertEqual(service["selector"], labels)
        self.assertEqual(headless["selector"], labels)
        self.assertEqual(headless["clusterIP"], "None")
        self.assertIn(service["ports"][0]["targetPort"], ports)
        self.assertEqual(ports["http"], settings["endpoint"]["http"]["port"])
        self.assertEqual(ports["operations"], settings["operations"]["http"]["port"])
        self.assertEqual(ports["distribution"], settings["distribution"]["port"])
        for variable in self.container()["env"]:
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                self.assertIn(secret["key"], objects["Secret", secret["name"]]["stringData"])
        mounts = {mount["name"] for mount in self.container()["volumeMounts"]}
        self.assertEqual(mounts, {volume["name"] for volume in self.pod()["spec"]["volumes"]})

    def test_a_pod_has_time_to_drain_and_to_stop(self):
        settings = yaml.safe_load(self.configuration())
        drainer = settings["endpoint"]["drainer"]
        drain = seconds(drainer["delay"]) + seconds(drainer["shutdown"])
        limit = seconds(settings["node"]["shutdown_timeout"])
        self.assertGreater(limit, drain)
        self.assertGreater(self.pod()["spec"]["terminationGracePeriodSeconds"], drain + limit)

    def test_the_program_takes_the_configuration_and_answers_the_probes(self):
        ports = {name: free_port() for name in ("http", "operations", "distribution")}
        with tempfile.TemporaryDirectory() as folder:
            text = re.sub(r"(?<![\d.])0\.0\.0\.0", "127.0.0.1", self.configuration())
            text = text.replace("/opt/chat", self.root)
            for old, name in (("4000", "http"), ("4100", "operations"), ("4370", "distribution")):
                text = text.replace(f"port: {old}", f"port: {ports[name]}")
            # A name server that is not there: nothing is asked for outside.
            text = text.replace("application_name: chat}",
                                f"application_name: chat, server: \"127.0.0.1:{free_port()}\"}}")
            with open(os.path.join(folder, "chat.yaml"), "w") as file:
                file.write(text)

            def here(words):
                return [word.replace("/etc/chat", folder) for word in words]

            values = {one["name"]: one.get("value") for one in self.container()["env"]}
            node = values["RELEASE_NODE"].replace("$(POD_IP)", "127.0.0.1")
            args = here(self.container()["args"])
            running = self.start(args, ports["http"], RELEASE_NODE=node, RELEASE_COOKIE=self.cookie)
            self.assertTrue(running.serves(), running.text())
            probes = {kind: self.container()[f"{kind}Probe"]["httpGet"]
                      for kind in ("startup", "readiness", "liveness")}

            def asked(kind):
                return running.get(probes[kind]["path"], ports[probes[kind]["port"]])

            self.assertEqual([asked(kind) for kind in probes], [200, 200, 200])
            program, *words = here(self.container()["lifecycle"]["preStop"]["exec"]["command"])
            self.assertTrue(os.access(self.inside(program), os.X_OK))
            drained = running.run(words)
            self.assertEqual((drained.returncode, drained.stdout), (0, "chat: drained\n"),
                             drained.stderr)
            self.assertEqual([asked(kind) for kind in probes], [503, 503, 200])
            self.assertEqual(running.stop(), 0)

    def test_the_cookie_that_stands_in_the_file_is_refused(self):
        cookie = self.objects()["Secret", "chat"]["stringData"]["cookie"]
        node = self.start(["start"], free_port(), PORT="0", RELEASE_NODE="chat@127.0.0.1",
                          RELEASE_COOKIE=cookie)
        self.assertNotEqual(node.process.wait(20), 0)
        self.assertIn("cookie", node.text())


del Release  # it has no tests of its own

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
