"""Says that the wheel holds a program of one platform; everything else stands in pyproject.toml."""
from setuptools import setup
from setuptools.dist import Distribution


class WithProgram(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(distclass=WithProgram)
