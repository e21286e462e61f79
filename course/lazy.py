"""Packages that load a name when it is first used; the build copies `lazy` into gpt2lib/__init__.py."""


def lazy(package: str, module_of: dict[str, str]) -> None:
    """Let a package take each public name from its module when it is first used.

    A name that is a module's too, as `gpt2lib.fast` is, is that module, and calling it calls the function.
    """
    import sys
    from importlib import import_module
    from importlib.util import find_spec
    from types import ModuleType

    def load(name: str):
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    class CallableModule(ModuleType):
        def __call__(self, *arguments, **options):
            return load(self.__name__.rpartition(".")[2])(*arguments, **options)

    class LazyPackage(ModuleType):
        def __getattr__(self, name: str):
            if name not in module_of:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return import_module(f"{package}.{name}") if find_spec(f"{package}.{name}") else load(name)

        def __setattr__(self, name: str, value) -> None:
            if name in module_of and type(value) is ModuleType:  # what importing a module does last
                value.__class__ = CallableModule
            super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*vars(self), *module_of})

    sys.modules[package].__class__ = LazyPackage
