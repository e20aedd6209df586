/** Where every process of Fairlead begins: a person's command, or one of the processes that Fairlead starts itself. */

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  switch (command) {
    case "__worker": {
      const { runWorker } = await import("../worker/main.ts");
      runWorker(rest[1] === "json" ? "json" : "text");
      return;
    }
    case "__policies": {
      const { runPolicyCheck } = await import("../supervisor/policy-check.ts");
      await runPolicyCheck(rest[0]!);
      return;
    }
    case "__keeper": {
      const [{ runKeeper }, { selfCommand }] = await Promise.all([import("../supervised/keeper.ts"), import("./self.ts")]);
      runKeeper({ self: selfCommand(), logFormat: rest[0] === "json" ? "json" : "text" });
      return;
    }
    case "__program": {
      const { becomeProgram } = await import("../supervised/program.ts");
      return becomeProgram(Number(rest[0]), rest[1]!, rest.slice(2));
    }
    case "__spells": {
      const { runBackend } = await import("./demo/backend-process.ts");
      runBackend(Number(rest[0]), rest[1] ?? "spells");
      return;
    }
    case "__complete": {
      const [{ complete }, { program }] = await Promise.all([import("./complete.ts"), import("./program.ts")]);
      process.stdout.write(await complete(program(), rest));
      // A question to the admin address may be under way still.
      process.exit(0);
    }
    default: {
      const [{ program }, { USAGE_ERROR }] = await Promise.all([import("./program.ts"), import("./usage.ts")]);
      try {
        await program().parseAsync();
      } catch (error) {
        // commander has said what is wrong.
        if ((error as { code?: string }).code?.startsWith("commander.") !== true) throw error;
        process.exit((error as { exitCode?: number }).exitCode === 0 ? 0 : USAGE_ERROR);
      }
    }
  }
}

await main();

export {};
